-- Irregulars are more disturbed than the other classes: larger Psi, G2, shape, outer and RMS asymmetry and colour dispersion.
-- source: Psi: Law et al. 2007 (ApJ 656, 1); G2 and Psi of classes: Song et al. 2024 (arXiv:2404.15701), abstract; A_S: Pawlik et al. 2016 (MNRAS 456, 3032); A_O: Wen, Zheng & An 2014 (ApJ 787, 130); A_rms: Sazonova et al. 2024; colour dispersion: Papovich et al. 2003 (ApJ 598, 827)
-- reads: class, {column}
-- over: column = multiplicity
-- over: column = g2
-- over: column = shape_asymmetry
-- over: column = outer_asymmetry
-- over: column = rms_asymmetry2
-- over: column = colour_dispersion
-- :column: the parameter
-- :irregular = IRR: classes of irregulars
-- :order = SPH, ETD, LTD, IRR: all classes; those that are not irregular are the others
-- :least = 30: objects that either side must have
-- :shift = 0.2: smallest difference of the two medians, in units of the sides' mean scatter
-- :sigmas = 2: errors that decide
WITH known AS (
    SELECT class IN ({irregular}) AS irregular, count(*) AS n, percentiles({column}) AS q
    FROM measured
    WHERE class IN ({order}) AND {column} IS NOT NULL
    GROUP BY irregular
),
whole AS (
    SELECT
        coalesce(sum(n), 0)::BIGINT AS objects,
        coalesce(any_value(n) FILTER (irregular), 0) AS irregulars,
        coalesce(any_value(n) FILTER (NOT irregular), 0) AS others,
        any_value(q[2]) FILTER (irregular) AS median,
        any_value(q[2]) FILTER (NOT irregular) AS other,
        nullif(avg(scatter(q)), 0) AS unit,
        (median - other) / unit AS statistic,
        sqrt(sum(pow(median_error(q, n), 2))) / unit AS error
    FROM known
)
SELECT
    '' AS what,
    CASE
        WHEN least(irregulars, others) < {least} THEN 'not run'
        ELSE verdict(statistic, error, {shift}, {sigmas})
    END AS verdict,
    statistic,
    error,
    '>= {shift}' AS expected,
    objects,
    CASE
        WHEN least(irregulars, others) < {least} THEN
            format('{} irregulars and {} others with a value: fewer than {}', irregulars, others, {least})
        WHEN statistic IS NULL THEN 'the values do not vary'
        ELSE format('median of irregulars {}, of others {}', short(median), short(other))
    END AS detail
FROM whole
