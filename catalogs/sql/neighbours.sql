-- Objects whose embeddings are most like those of one object (cosine similarity).
-- :id: object_id of the object
-- :count = 10: how many neighbours
WITH target AS (SELECT embedding FROM embeddings WHERE object_id::VARCHAR = {id})
SELECT
    objects.object_id,
    round(list_cosine_similarity(embeddings.embedding, target.embedding)::DOUBLE, 5) AS similarity,
    objects."group", objects.agreement
FROM embeddings
CROSS JOIN target
JOIN objects USING (object_id)
WHERE embeddings.embedding IS NOT NULL AND embeddings.object_id::VARCHAR <> {id}
ORDER BY similarity DESC, objects.object_id
LIMIT {count}
