-- Purity of the groups against a numeric column cut into bins, for the vote and for a single k-means.
-- :column: the numeric column with the truth, t_type for instance
-- :edges = -3.5, -0.5, 3.5, 8.5: inner edges of the bins
WITH binned AS (
    SELECT
        "group", kept, agreement, reference_group,
        len(list_filter([{edges}], lambda edge: edge <= {column})) AS bin
    FROM objects
    -- NaN is in no bin; isnan would be answered by a Parquet file's statistics, which leave it out
    WHERE (isfinite({column}::DOUBLE) OR isinf({column}::DOUBLE)) AND "group" IS NOT NULL
),
ways AS (
    SELECT 'vote, kept objects' AS way, "group" AS cluster, bin FROM binned WHERE kept
    UNION ALL SELECT 'vote, unanimous objects', "group", bin FROM binned WHERE agreement = 1
    UNION ALL SELECT 'vote, all objects', "group", bin FROM binned
    UNION ALL SELECT 'single k-means, kept objects', reference_group, bin FROM binned WHERE kept
    UNION ALL SELECT 'single k-means, all objects', reference_group, bin FROM binned
),
cells AS (SELECT way, cluster, bin, count(*) AS n FROM ways GROUP BY ALL),
clusters AS (SELECT way, cluster, sum(n) AS n, max(n) AS most FROM cells GROUP BY way, cluster)
SELECT
    way,
    sum(n)::BIGINT AS objects,
    round(sum(n) / (SELECT count(*) FROM binned), 4) AS fraction,
    round(sum(most) / sum(n), 4) AS purity
FROM clusters
GROUP BY way
ORDER BY way DESC
