-- Pairs of objects at the same position, or with the same embedding: one of them may be superfluous.
-- :radius = 1: largest separation, arcsec
-- :count = 100: how many pairs
-- Cells of a grid as large as the radius; neighbours of an object are in its own cell or beside it. Releases without positions have only pairs of the second kind.
WITH placed AS (
    SELECT object_id, ra, dec, greatest({radius}, 0.001) * 1.001 / 3600 AS side, floor(dec / side)::BIGINT AS band
    FROM (SELECT NULL::DOUBLE AS ra, NULL::DOUBLE AS dec WHERE false UNION ALL BY NAME SELECT * FROM objects)
    WHERE ra IS NOT NULL AND dec BETWEEN -90 AND 90
),
probes AS (
    SELECT object_id, ra, dec, step, band + step AS band,
           greatest(1, floor(360 * cos(radians(least(90, greatest(abs(band + step), abs(band + step + 1)) * side))) / side))::BIGINT AS cells,
           floor(ra * cells / 360)::BIGINT AS cell
    FROM placed CROSS JOIN (VALUES (0), (1)) AS steps(step)
),
near AS (
    SELECT DISTINCT least(a.object_id, b.object_id) AS object_id, greatest(a.object_id, b.object_id) AS other,
           2 * 3600 * degrees(asin(sqrt(sin(radians(a.dec - b.dec) / 2) ^ 2
               + cos(radians(a.dec)) * cos(radians(b.dec)) * sin(radians(a.ra - b.ra) / 2) ^ 2))) AS separation
    FROM (SELECT *, (cell + beside + cells) % cells AS wanted FROM probes CROSS JOIN (VALUES (-1), (0), (1)) AS sides(beside)) AS a
    JOIN probes AS b ON b.step = 0 AND b.band = a.band AND b.cell = a.wanted
    WHERE (a.step = 1 AND a.object_id <> b.object_id) OR a.object_id < b.object_id
),
codes AS (SELECT object_id, embedding, hash(embedding) AS digest FROM embeddings WHERE embedding IS NOT NULL),
twins AS (
    SELECT object_id, embedding FROM codes
    SEMI JOIN (SELECT digest FROM codes GROUP BY digest HAVING count(*) > 1) AS doubled USING (digest)
),
alike AS (
    SELECT first AS object_id, object_id AS other
    FROM (SELECT object_id, min(object_id) OVER (PARTITION BY embedding) AS first FROM twins) WHERE first <> object_id
)
SELECT object_id, other, round(separation, 4) AS separation, alike.other IS NOT NULL AS same_code
FROM (SELECT * FROM near WHERE separation <= {radius}) AS near FULL JOIN alike USING (object_id, other)
ORDER BY near.separation NULLS LAST, object_id, other
LIMIT {count}
