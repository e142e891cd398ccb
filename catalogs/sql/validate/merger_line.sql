-- Irregulars lie above the merger line of the Gini-M20 plane, Gini > -0.14 M20 + 0.33, more often than the other classes.
-- source: Lotz et al. 2008 (ApJ 672, 177), the lines of their classification; the plane: Lotz, Primack & Madau 2004 (AJ 128, 163)
-- reads: class, gini, m20
-- :irregular = IRR: classes of irregulars
-- :order = SPH, ETD, LTD, IRR: all classes; those that are not irregular are the others
-- :slope = -0.14: slope of the line
-- :intercept = 0.33: Gini on the line at M20 = 0
-- :least = 30: objects that either side must have
-- :difference = 0.1: smallest difference of the two shares
-- :sigmas = 2: errors that decide
WITH counts AS (
    SELECT counted(class IN ({irregular}), gini > {slope} * m20 + {intercept}) AS c
    FROM measured
    WHERE class IN ({order}) AND gini IS NOT NULL AND m20 IS NOT NULL
)
SELECT
    'irregulars against the others' AS what,
    share_verdict(c, {least}, {difference}, {sigmas}) AS verdict,
    share_gap(c) AS statistic,
    share_error(c) AS error,
    '>= {difference}' AS expected,
    c.n1 + c.n2 AS objects,
    share_detail(c, {least}, 'above the line', 'irregulars', 'others') AS detail
FROM counts
