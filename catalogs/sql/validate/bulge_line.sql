-- Early types lie on the E/S0/Sa side of the Gini-M20 plane, Gini > 0.14 M20 + 0.80, more often than late types.
-- source: Lotz et al. 2008 (ApJ 672, 177), the lines of their classification; the plane: Lotz, Primack & Madau 2004 (AJ 128, 163)
-- reads: class, gini, m20
-- :early = SPH, ETD: classes of early type
-- :late = LTD, IRR: classes of late type
-- :slope = 0.14: slope of the line
-- :intercept = 0.80: Gini on the line at M20 = 0
-- :least = 30: objects that either side must have
-- :difference = 0.1: smallest difference of the two shares
-- :sigmas = 2: errors that decide
WITH counts AS (
    SELECT counted(class IN ({early}), gini > {slope} * m20 + {intercept}) AS c
    FROM measured
    WHERE class IN ({early}, {late}) AND gini IS NOT NULL AND m20 IS NOT NULL
)
SELECT
    'early against late types' AS what,
    share_verdict(c, {least}, {difference}, {sigmas}) AS verdict,
    share_gap(c) AS statistic,
    share_error(c) AS error,
    '>= {difference}' AS expected,
    c.n1 + c.n2 AS objects,
    share_detail(c, {least}, 'on the E/S0/Sa side', 'early', 'late') AS detail
FROM counts
