-- Early types lie in the quiescent wedge of the U-V, V-J plane more often than late types.
-- source: Williams et al. 2009 (ApJ 691, 1879): U-V > 0.88 (V-J) + offset, U-V > 1.3, V-J < 1.6; offset 0.69 for z < 0.5, 0.59 for 0.5 < z < 1, 0.49 for 1 < z < 2; early types in it: Zhou et al. 2022 (arXiv:2112.13957), abstract
-- reads: class, u_v, v_j
-- :early = SPH, ETD: classes of early type
-- :late = LTD, IRR: classes of late type
-- :slope = 0.88: slope of the wedge's side
-- :offset = 0.59: U-V on that side at V-J = 0
-- :bluest = 1.3: smallest rest-frame U-V
-- :reddest = 1.6: largest rest-frame V-J
-- :least = 30: objects that either side must have
-- :difference = 0.1: smallest difference of the two shares
-- :sigmas = 2: errors that decide
WITH counts AS (
    SELECT counted(
        class IN ({early}), u_v > {slope} * v_j + {offset} AND u_v > {bluest} AND v_j < {reddest}
    ) AS c
    FROM measured
    WHERE class IN ({early}, {late}) AND u_v IS NOT NULL AND v_j IS NOT NULL
)
SELECT
    'early against late types' AS what,
    share_verdict(c, {least}, {difference}, {sigmas}) AS verdict,
    share_gap(c) AS statistic,
    share_error(c) AS error,
    '>= {difference}' AS expected,
    c.n1 + c.n2 AS objects,
    share_detail(c, {least}, 'in the quiescent wedge', 'early', 'late') AS detail
FROM counts
