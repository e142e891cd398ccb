-- Cross-table of the kept objects' groups against any column of the catalog.
-- :column: the column to count by
SELECT "group", {column} AS value, count(*) AS objects,
    round(count(*) / sum(count(*)) OVER (PARTITION BY "group"), 4) AS share_of_group
FROM objects
WHERE kept
GROUP BY "group", value
ORDER BY "group", objects DESC, value
