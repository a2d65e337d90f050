-- A row an event, with the session's own id; the shape of the logs of REES46.
SELECT user_session AS session_id,
       strptime(event_time, '%Y-%m-%d %H:%M:%S UTC') AS event_time,
       event_type AS event,
       product_id AS product,
       split_part(category_code, '.', 1) AS category,
       price,
       filename
FROM log
WHERE event_type IN ('view', 'cart', 'purchase')
