-- Objects of each class, how many of them are kept, and their share of all usable objects.
-- UNC is unclassified: the members disagree on the object. No class: its group has no name.
SELECT
    class,
    count(*) AS objects,
    count(*) FILTER (kept) AS kept,
    round(count(*) / sum(count(*)) OVER (), 4) AS share
FROM objects
WHERE "group" IS NOT NULL
GROUP BY class
ORDER BY objects DESC, class
