/*
[files]
properties = "item_properties.csv"
*/
-- Prices and categories are events of another file: those of the moment of the click; a visitor's id is the session's.
WITH known AS (SELECT itemid, property, value, CAST(timestamp AS BIGINT) AS since FROM properties),
     events AS (SELECT *, CAST(timestamp AS BIGINT) AS ms FROM log)
SELECT visitorid AS session_id, ms AS event_time, events.itemid AS product,
       CASE event WHEN 'addtocart' THEN 'cart' WHEN 'transaction' THEN 'purchase' ELSE event END AS event,
       categories.value AS category, TRY_CAST(ltrim(prices.value, 'n') AS DOUBLE) / 1000 AS price
FROM events
ASOF LEFT JOIN (FROM known WHERE property = '790') AS prices
    ON events.itemid = prices.itemid AND ms >= prices.since
ASOF LEFT JOIN (FROM known WHERE property = 'categoryid') AS categories
    ON events.itemid = categories.itemid AND ms >= categories.since
