-- Irregulars are as asymmetric as major mergers, A > 0.35, more often than the other classes.
-- source: Conselice 2003 (ApJS 147, 1): A > 0.35 picks major mergers
-- reads: class, asymmetry
-- :irregular = IRR: classes of irregulars
-- :order = SPH, ETD, LTD, IRR: all classes; those that are not irregular are the others
-- :asymmetry = 0.35: asymmetry of a merger, at least
-- :least = 30: objects that either side must have
-- :difference = 0.1: smallest difference of the two shares
-- :sigmas = 2: errors that decide
WITH counts AS (
    SELECT counted(class IN ({irregular}), asymmetry > {asymmetry}) AS c
    FROM measured
    WHERE class IN ({order}) AND asymmetry IS NOT NULL
)
SELECT
    'irregulars against the others' AS what,
    share_verdict(c, {least}, {difference}, {sigmas}) AS verdict,
    share_gap(c) AS statistic,
    share_error(c) AS error,
    '>= {difference}' AS expected,
    c.n1 + c.n2 AS objects,
    share_detail(c, {least}, 'with A > {asymmetry}', 'irregulars', 'others') AS detail
FROM counts
