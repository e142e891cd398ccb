-- At the same stellar mass late types are larger than early types.
-- source: van der Wel et al. 2014 (ApJ 788, 28), abstract: early types are on average smaller than late types at all redshifts
-- reads: class, sersic_r_e, log_mass
-- :early = SPH, ETD: classes of early type
-- :late = LTD, IRR: classes of late type
-- :from = 10.0: log10 of the smallest mass in the Sun's; below, the relations of the two meet
-- :to = 11.5: log10 of the largest mass
-- :step = 0.25: width of a bin of log10 mass
-- :least = 20: objects of either side that a bin must have
-- :bins = 2: bins that must have them
-- :difference = 0.1: smallest difference of the median log10 r_e, in dex, mean over the bins
-- :sigmas = 2: errors that decide
WITH known AS (
    SELECT
        class IN ({early}) AS is_early,
        floor((log_mass - {from}) / {step}) AS bin,
        log10(sersic_r_e) AS size
    FROM measured
    WHERE class IN ({early}, {late}) AND sersic_r_e > 0 AND log_mass >= {from} AND log_mass < {to}
),
medians AS (
    SELECT bin, is_early, count(*) AS objects, percentiles(size) AS q FROM known GROUP BY bin, is_early
),
bins AS (
    SELECT
        bin,
        early.objects + late.objects AS objects,
        late.q[2] - early.q[2] AS difference,
        pow(median_error(early.q, early.objects), 2) + pow(median_error(late.q, late.objects), 2) AS variance
    FROM medians AS early JOIN medians AS late USING (bin)
    WHERE early.is_early AND NOT late.is_early AND early.objects >= {least} AND late.objects >= {least}
),
whole AS (
    SELECT
        count(*) AS bins,
        coalesce(sum(objects), 0)::BIGINT AS objects,
        -- every mass counts the same, however many objects it has
        avg(difference) AS statistic,
        sqrt(sum(variance)) / count(*) AS error,
        string_agg(format('{} {}', short({from} + (bin + 0.5) * {step}), short(difference)), ', ' ORDER BY bin) AS each
    FROM bins
)
SELECT
    'late minus early types' AS what,
    CASE WHEN bins < {bins} THEN 'not run' ELSE verdict(statistic, error, {difference}, {sigmas}) END AS verdict,
    statistic,
    error,
    '>= {difference} dex' AS expected,
    objects,
    CASE
        WHEN bins < {bins} THEN format('{} bins of mass have {} objects of either side: fewer than {}', bins, {least}, {bins})
        ELSE format('dex at log10 mass: {}', each)
    END AS detail
FROM whole
