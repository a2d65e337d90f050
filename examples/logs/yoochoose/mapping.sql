/*
[log]
columns = ["session", "clicked_at", "item", "category"]      # the file has no header
[files.buys]
path = "buys.dat"
columns = ["session", "clicked_at", "item", "price", "quantity"]
*/
-- Clicks in one file, purchases in another; 0 and S are no categories.
SELECT session AS session_id, clicked_at AS event_time, 'view' AS event, item AS product,
       CASE WHEN category NOT IN ('0', 'S') THEN category END AS category, NULL AS price
FROM log
UNION ALL
SELECT session, clicked_at, 'purchase', item, NULL, CAST(price AS DOUBLE) * CAST(quantity AS INTEGER) FROM buys
