-- What the tests share: how a statistic with an error becomes a verdict, and the robust scatter of a column.
CREATE OR REPLACE TEMP MACRO verdict(statistic, error, smallest, sigmas) AS CASE
    WHEN statistic IS NULL OR error IS NULL OR NOT isfinite(statistic) OR NOT isfinite(error) THEN 'not run'
    WHEN statistic >= smallest AND statistic > sigmas * error THEN 'passed'
    WHEN statistic + sigmas * error < smallest THEN 'failed'
    ELSE 'unclear'
END;
-- 16th, 50th and 84th percentile, the two outer ones a standard deviation from the middle for normal values.
CREATE OR REPLACE TEMP MACRO percentiles(x) AS quantile_cont(x, [0.1587, 0.5, 0.8413]);
CREATE OR REPLACE TEMP MACRO scatter(q) AS (q[3] - q[1]) / 2;
-- Standard error of the median of n normal values.
CREATE OR REPLACE TEMP MACRO median_error(q, n) AS 1.2533 * scatter(q) / sqrt(n);
-- Of two sides of objects, how many there are and how many of them are inside.
CREATE OR REPLACE TEMP MACRO counted(one_side, inside) AS {
    'n1': count(*) FILTER (one_side), 'k1': count(*) FILTER (one_side AND inside),
    'n2': count(*) FILTER (NOT one_side), 'k2': count(*) FILTER (NOT one_side AND inside)
};
-- Share inside of the one side minus that of the other, and its standard error;
-- (k + 1) / (n + 2) keeps the error above zero where a share is 0 or 1.
CREATE OR REPLACE TEMP MACRO share_gap(c) AS c.k1 / nullif(c.n1, 0) - c.k2 / nullif(c.n2, 0);
CREATE OR REPLACE TEMP MACRO share_variance(k, n) AS (k + 1) / (n + 2) * (1 - (k + 1) / (n + 2)) / nullif(n, 0);
CREATE OR REPLACE TEMP MACRO share_error(c) AS sqrt(share_variance(c.k1, c.n1) + share_variance(c.k2, c.n2));
CREATE OR REPLACE TEMP MACRO share_verdict(c, least_objects, smallest, sigmas) AS CASE
    WHEN least(c.n1, c.n2) < least_objects THEN 'not run'
    ELSE verdict(share_gap(c), share_error(c), smallest, sigmas)
END;
CREATE OR REPLACE TEMP MACRO short(x) AS format('{:.3g}', x::DOUBLE);
CREATE OR REPLACE TEMP MACRO share_detail(c, least_objects, place, one_side, other) AS CASE
    WHEN least(c.n1, c.n2) < least_objects
        THEN format('{} {} and {} {}: fewer than {} objects', c.n1, one_side, c.n2, other, least_objects)
    ELSE format('share {}: {} {}, {} {}', place, one_side, short(c.k1 / c.n1), other, short(c.k2 / c.n2))
END;
