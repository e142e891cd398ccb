-- Objects on which a predictor's answer may stand without people: as sure as the wanted accuracy takes, the surest first. Objects unlike what it was taught on are left out.
-- :question: question of a predictor
-- :accuracy = 0.95: wanted share of right answers
WITH asked AS (
    SELECT object_id, [{answers}] AS answers, [{columns}] AS probabilities, {outside} AS outside
    FROM objects
)
SELECT
    object_id,
    answers[list_position(probabilities, list_max(probabilities))] AS answer,
    list_max(probabilities) AS probability
FROM asked
WHERE probability >= {least} AND NOT outside
ORDER BY probability DESC, object_id
