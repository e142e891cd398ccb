-- Early types are more concentrated and more symmetric than late types: a line in the C-A plane separates them.
-- source: Conselice 2003 (ApJS 147, 1), the CAS volume; Song et al. 2024 (arXiv:2404.15701), abstract. The line is not theirs: it halves the way between the medians of the two sides, in units of their scatter, because C and A depend on resolution and depth
-- reads: class, concentration, asymmetry
-- :early = SPH, ETD: classes of early type
-- :late = LTD, IRR: classes of late type
-- :least = 30: objects that either side must have
-- :difference = 0.1: smallest difference of the two shares
-- :sigmas = 2: errors that decide
WITH sides AS (
    SELECT class IN ({early}) AS is_early, concentration, asymmetry
    FROM measured
    WHERE class IN ({early}, {late}) AND concentration IS NOT NULL AND asymmetry IS NOT NULL
),
spread AS (
    SELECT is_early, percentiles(concentration) AS c, percentiles(asymmetry) AS a FROM sides GROUP BY is_early
),
line AS (
    SELECT
        avg(c[2]) AS c_middle, avg(a[2]) AS a_middle,
        nullif(avg(scatter(c)), 0) AS c_scatter, nullif(avg(scatter(a)), 0) AS a_scatter
    FROM spread
),
counts AS (
    SELECT counted(is_early, (concentration - c_middle) / c_scatter > (asymmetry - a_middle) / a_scatter) AS c
    FROM sides CROSS JOIN line
),
drawn AS (
    SELECT format(
        'where (C - {}) / {} > (A - {}) / {}', short(c_middle), short(c_scatter), short(a_middle), short(a_scatter)
    ) AS place
    FROM line
)
SELECT
    'early against late types' AS what,
    share_verdict(c, {least}, {difference}, {sigmas}) AS verdict,
    share_gap(c) AS statistic,
    share_error(c) AS error,
    '>= {difference}' AS expected,
    c.n1 + c.n2 AS objects,
    share_detail(c, {least}, place, 'early', 'late') AS detail
FROM counts CROSS JOIN drawn
