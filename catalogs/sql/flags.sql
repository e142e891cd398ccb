-- How many objects carry each flag.
WITH names AS (
    SELECT unnest(['off_image', 'edge', 'bad_pixels', 'no_pixels', 'blank', 'saturated', 'bad_position', 'synthetic', 'no_extent', 'no_segment', 'missing_modality']) AS flag,
           unnest([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]) AS bit
)
SELECT flag, count(*) FILTER (objects.flags & bit <> 0) AS objects
FROM names CROSS JOIN objects
GROUP BY flag, bit
ORDER BY bit
