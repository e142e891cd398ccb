-- Objects that are like no others, those that flags explain (edges, bad pixels, stars, blends) after all others.
-- :count = 50: how many objects
-- Catalogs in which nothing was measured have no measure_flags.
WITH judged AS (
    SELECT *, flags & 38 <> 0 OR coalesce(measure_flags & 67625 <> 0, false) AS explained
    FROM (SELECT NULL::INTEGER AS measure_flags WHERE false UNION ALL BY NAME SELECT * FROM objects)
)
SELECT object_id, round(anomaly, 3) AS anomaly, round(anomaly_distance, 4) AS anomaly_distance, "class", "group", flags, measure_flags, explained
FROM judged
WHERE anomaly_distance IS NOT NULL
ORDER BY explained, judged.anomaly_distance DESC, object_id
LIMIT {count}
