-- A session a line, its events in a list: `unnest` makes a row of each.
WITH events AS (SELECT session, unnest(events) AS one FROM log)
SELECT session AS session_id,
       CAST(one.ts AS BIGINT) AS event_time,
       CASE one.type WHEN 'clicks' THEN 'view' WHEN 'carts' THEN 'cart' ELSE 'purchase' END AS event,
       one.aid AS product
FROM events
