-- Objects whose embeddings are most like those of some objects, seen from the mean of the release; exact, and without an index.
-- :ids: object_id of the example, or several with commas between them
-- :count = 50: how many objects
-- Similarity is the cosine between codes as seen from the mean of the release; objects that flags explain are no answers (docs/similar.md).
WITH middle AS (SELECT {mean}::DOUBLE[] AS mean, list_inner_product(mean, mean) AS square),
known AS (
    SELECT object_id, CASE WHEN embedding IS NOT NULL THEN embedding::DOUBLE[] END AS code
    FROM embeddings WHERE embedding IS NOT NULL
),
seen AS (
    SELECT object_id, code, list_inner_product(code, mean) AS along,
           sqrt(list_inner_product(code, code) - 2 * along + square) AS length
    FROM known CROSS JOIN middle
),
examples AS MATERIALIZED (SELECT * FROM seen WHERE object_id::VARCHAR IN ({ids})),
together AS (
    SELECT sqrt(avg((list_inner_product(a.code, b.code) - a.along - b.along + square) / (a.length * b.length))) AS length
    FROM examples a CROSS JOIN examples b CROSS JOIN middle
),
scored AS (
    SELECT seen.object_id,
           avg((list_inner_product(seen.code, x.code) - seen.along - x.along + square) / (seen.length * x.length))
               / any_value(together.length) AS similarity
    FROM seen CROSS JOIN examples x CROSS JOIN middle CROSS JOIN together
    GROUP BY seen.object_id
),
-- Catalogs in which nothing was measured have no measure_flags.
judged AS (
    SELECT object_id, "group", agreement, flags & 38 <> 0 OR coalesce(measure_flags & 67625 <> 0, false) AS explained
    FROM (SELECT NULL::INTEGER AS measure_flags WHERE false UNION ALL BY NAME SELECT * FROM objects)
)
SELECT object_id, round(similarity, 5) AS similarity, "group", agreement
FROM scored JOIN judged USING (object_id)
WHERE NOT explained AND object_id::VARCHAR NOT IN ({ids})
ORDER BY scored.similarity DESC, object_id
LIMIT {count}
