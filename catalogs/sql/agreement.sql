-- Histogram of the agreement between members, in steps of a tenth.
SELECT
    least(floor(agreement * 10), 9) / 10 AS agreement_from,
    count(*) AS objects,
    round(count(*) / sum(count(*)) OVER (), 4) AS share
FROM objects
WHERE agreement IS NOT NULL
GROUP BY agreement_from
ORDER BY agreement_from
