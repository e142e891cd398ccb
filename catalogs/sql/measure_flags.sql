-- How many objects carry each flag of the measured columns.
WITH names AS (
    SELECT unnest(['no_object', 'low_sn', 'no_radius', 'below_psf', 'truncated', 'off_centre', 'neighbour', 'no_sky',
                   'no_smoothness', 'region', 'no_light', 'bad_pixels', 'fit_failed', 'fit_unconverged', 'fit_limit', 'no_noise', 'blended', 'no_psf',
                   'no_error']) AS flag,
           unnest(range(19)) AS place
)
SELECT flag, count(*) FILTER (objects.measure_flags & (1 << place) <> 0) AS objects
FROM names CROSS JOIN objects
GROUP BY flag, place
ORDER BY place
