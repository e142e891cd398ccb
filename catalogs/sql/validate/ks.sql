-- Two classes differ in the distribution of a parameter.
-- source: two-sample Kolmogorov-Smirnov distance D; critical distance and p-value: Press et al., Numerical Recipes, 2nd edition, section 14.3, equations 14.3.7, 14.3.9 and 14.3.10 (after Stephens 1970)
-- reads: class, {column}
-- over: column = sersic_n
-- over: column = gini
-- over: column = m20
-- over: column = concentration
-- over: column = asymmetry
-- over: column = sersic_r_e
-- :column: the parameter
-- :order = SPH, ETD, LTD, IRR: classes, each pair of which is compared
-- :least = 30: objects that either class must have
-- :distance = 0.1: smallest D that means something, however many objects there are
-- :alpha = 0.01: chance of a distance as large as the critical one between samples of one distribution
WITH classes AS (
    SELECT unnest([{order}]) AS class, unnest(range(len([{order}]))) AS place
),
sizes AS (
    SELECT classes.class, place, count({column}) AS n
    FROM classes LEFT JOIN measured ON classes.class = measured.class
    GROUP BY classes.class, place
),
pairs AS (
    SELECT
        row_number() OVER (ORDER BY a.place, b.place) AS pair,
        a.class AS first, b.class AS second, a.n AS n1, b.n AS n2
    FROM sizes AS a JOIN sizes AS b ON a.place < b.place
),
sides AS (
    SELECT pair, first AS class, true AS is_first FROM pairs WHERE least(n1, n2) >= {least}
    UNION ALL
    SELECT pair, second, false FROM pairs WHERE least(n1, n2) >= {least}
),
-- equal values step together
steps AS (
    SELECT
        pair, {column} AS value,
        count(*) FILTER (is_first) AS step1, count(*) FILTER (NOT is_first) AS step2
    FROM sides JOIN measured USING (class)
    WHERE {column} IS NOT NULL
    GROUP BY pair, value
),
cumulative AS (
    SELECT pair, sum(step1) OVER up AS below1, sum(step2) OVER up AS below2
    FROM steps
    WINDOW up AS (PARTITION BY pair ORDER BY value ROWS UNBOUNDED PRECEDING)
),
gaps AS (
    SELECT pair, max(abs(below1 / n1 - below2 / n2)) AS d FROM cumulative JOIN pairs USING (pair) GROUP BY pair
),
distances AS (
    SELECT
        *,
        sqrt(n1 / (n1 + n2) * n2) AS root,
        sqrt(-ln({alpha} / 2) / 2) / (root + 0.12 + 0.11 / root) AS critical,
        (root + 0.12 + 0.11 / root) * d AS scaled,
        -- the series converges from below 0.2 on only slowly, and is 1 there
        CASE WHEN scaled < 0.2 THEN 1 ELSE
            least(1, greatest(0, 2 * list_sum([pow(-1, j - 1) * exp(-2 * j * j * scaled * scaled) for j in range(1, 51)])))
        END AS p
    FROM pairs LEFT JOIN gaps USING (pair)
)
SELECT
    first || ' ' || second AS what,
    CASE
        WHEN least(n1, n2) < {least} THEN 'not run'
        WHEN d > critical AND d >= {distance} THEN 'passed'
        WHEN critical > {distance} THEN 'unclear'
        ELSE 'failed'
    END AS verdict,
    d AS statistic,
    NULL::DOUBLE AS error,
    '>= ' || short(greatest(critical, {distance})) AS expected,
    n1 + n2 AS objects,
    CASE
        WHEN least(n1, n2) < {least} THEN
            format('{} has {} objects with a value, fewer than {}', CASE WHEN n1 < n2 THEN first ELSE second END, least(n1, n2), {least})
        ELSE format('critical distance {} at {}, p = {}', short(critical), {alpha}, short(p))
    END AS detail
FROM distances
ORDER BY pair
