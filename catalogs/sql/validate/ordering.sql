-- From spheroids over early and late disks to irregulars the medians of Sérsic n, Gini and C fall, those of M20 and the half-light radius rise.
-- source: n and r_e: Song et al. 2024 (arXiv:2404.15701), Dai et al. 2023 (ApJS 268, 34), Zhou et al. 2022 (arXiv:2112.13957), abstracts; Gini and M20: Lotz, Primack & Madau 2004 (AJ 128, 163); C: Conselice 2003 (ApJS 147, 1)
-- reads: class, {column}
-- over: column = sersic_n, direction = -1
-- over: column = gini, direction = -1
-- over: column = concentration, direction = -1
-- over: column = m20, direction = 1
-- over: column = sersic_r_e, direction = 1
-- :column: the parameter
-- :direction: 1 where it must rise, -1 where it must fall
-- :order = SPH, ETD, LTD, IRR: classes from early to late
-- :least = 30: objects that every class must have
-- :trend = 0.2: smallest change from the first class to the last, in units of the classes' mean scatter
-- :sigmas = 2: errors by which a wrong step must be wrong to fail, and a trend be present to pass
WITH classes AS (
    SELECT unnest([{order}]) AS class, unnest(range(len([{order}]))) AS place
),
known AS (
    SELECT class, count({column}) AS objects, percentiles({column}) AS q
    FROM measured
    WHERE {column} IS NOT NULL AND class IN ({order})
    GROUP BY class
),
medians AS (
    SELECT
        place, class, coalesce(objects, 0) AS objects, q[2] AS median, scatter(q) AS scatter,
        median_error(q, objects) AS error
    FROM classes LEFT JOIN known USING (class)
),
steps AS (
    SELECT
        *,
        {direction} * (median - lag(median) OVER along) AS step,
        sqrt(pow(error, 2) + pow(lag(error) OVER along, 2)) AS step_error,
        lag(class) OVER along || ' to ' || class AS between
    FROM medians
    WINDOW along AS (ORDER BY place)
),
whole AS (
    SELECT
        sum(objects) AS objects,
        min(objects) AS fewest,
        arg_min(class, objects) AS smallest,
        avg(scatter) AS scatter,
        {direction} * (arg_max(median, place) - arg_min(median, place)) / nullif(avg(scatter), 0) AS trend,
        sqrt(pow(arg_max(error, place), 2) + pow(arg_min(error, place), 2)) / nullif(avg(scatter), 0) AS error,
        coalesce(bool_or(step < 0), false) AS inverted,
        coalesce(bool_or(step < -{sigmas} * step_error), false) AS wrong,
        string_agg(between, ', ' ORDER BY place) FILTER (step < 0) AS inversions,
        string_agg(format('{} {} ± {}', class, short(median), short(error)), ', ' ORDER BY place) AS medians
    FROM steps
)
SELECT
    '' AS what,
    CASE
        WHEN fewest < {least} THEN 'not run'
        WHEN verdict(trend, error, {trend}, {sigmas}) = 'not run' THEN 'not run'
        WHEN wrong THEN 'failed'
        WHEN inverted AND verdict(trend, error, {trend}, {sigmas}) = 'passed' THEN 'unclear'
        ELSE verdict(trend, error, {trend}, {sigmas})
    END AS verdict,
    trend AS statistic,
    error,
    '>= {trend}, no step back' AS expected,
    objects::BIGINT AS objects,
    CASE
        WHEN fewest < {least} THEN format('{} has {} objects with a value, fewer than {}', smallest, fewest, {least})
        WHEN trend IS NULL THEN 'the values do not vary'
        WHEN inverted THEN format('medians {}; wrong way: {}', medians, inversions)
        ELSE format('medians {}', medians)
    END AS detail
FROM whole
