-- Objects whose embeddings are most like those of one object (cosine similarity).
-- :id: object_id of the object
-- :count = 10: how many neighbours
-- Materialised, because the similarity of a null list is an error, not null.
WITH known AS MATERIALIZED (SELECT object_id, embedding FROM embeddings WHERE embedding IS NOT NULL),
target AS (SELECT embedding FROM known WHERE object_id::VARCHAR = {id})
SELECT
    objects.object_id,
    round(list_cosine_similarity(known.embedding, target.embedding)::DOUBLE, 5) AS similarity,
    objects."group", objects.agreement
FROM known
CROSS JOIN target
JOIN objects USING (object_id)
WHERE known.object_id::VARCHAR <> {id}
ORDER BY similarity DESC, objects.object_id
LIMIT {count}
