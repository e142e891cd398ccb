-- Size of each group, how much of it is kept, and how sure its members are.
SELECT
    "group",
    count(*) AS objects,
    count(*) FILTER (kept) AS kept,
    round(avg(agreement)::DOUBLE, 3) AS mean_agreement,
    round(median(distance)::DOUBLE, 3) AS median_distance
FROM objects
WHERE "group" IS NOT NULL
GROUP BY "group"
ORDER BY "group"
