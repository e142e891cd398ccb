-- Objects that are left unclassified are as bright and as large as those that are classified: leaving them out biases nothing.
-- source: Song et al. 2024 (arXiv:2404.15701) and Fang et al. 2023 (arXiv:2212.06981) leave out what the vote does not agree on; nobody promises that this is unbiased, so it is measured
-- reads: kept, {column}
-- over: column = sn_pixel
-- over: column = sersic_r_e
-- :column: the parameter
-- :least = 30: objects that either side must have
-- :shift = 0.5: largest shift of the median, in units of the two sides' mean scatter
-- :sigmas = 2: errors that decide
WITH known AS (
    SELECT kept, count(*) AS n, percentiles({column}) AS q
    FROM measured
    WHERE kept IS NOT NULL AND {column} IS NOT NULL
    GROUP BY kept
),
whole AS (
    SELECT
        coalesce(sum(n), 0)::BIGINT AS objects,
        coalesce(any_value(n) FILTER (kept), 0) AS classified,
        coalesce(any_value(n) FILTER (NOT kept), 0) AS unclassified,
        any_value(q[2]) FILTER (kept) AS median,
        any_value(q[2]) FILTER (NOT kept) AS other,
        nullif(avg(scatter(q)), 0) AS unit,
        (other - median) / unit AS statistic,
        sqrt(sum(pow(median_error(q, n), 2))) / unit AS error
    FROM known
)
SELECT
    '' AS what,
    CASE
        WHEN least(classified, unclassified) < {least} OR statistic IS NULL THEN 'not run'
        WHEN abs(statistic) + {sigmas} * error <= {shift} THEN 'passed'
        WHEN abs(statistic) - {sigmas} * error > {shift} THEN 'failed'
        ELSE 'unclear'
    END AS verdict,
    statistic,
    error,
    'within {shift}' AS expected,
    objects,
    CASE
        WHEN least(classified, unclassified) < {least} THEN
            format('{} unclassified and {} classified objects: fewer than {}', unclassified, classified, {least})
        WHEN statistic IS NULL THEN 'the values do not vary'
        ELSE format('median of the unclassified {}, of the classified {}', short(other), short(median))
    END AS detail
FROM whole
