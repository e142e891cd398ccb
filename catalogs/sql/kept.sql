-- Fraction of objects that keep their group, by the run's rule and by others.
SELECT
    count(*) AS objects,
    count("group") AS usable,
    count(*) FILTER (kept) AS kept,
    round(count(*) FILTER (kept) / count("group"), 4) AS kept_fraction,
    round(count(*) FILTER (agreement = 1) / count("group"), 4) AS unanimous_fraction,
    round(count(*) FILTER (agreement >= 0.5) / count("group"), 4) AS majority_fraction
FROM objects
