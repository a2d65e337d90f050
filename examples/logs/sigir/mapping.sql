/*
[files]
content = "sku_to_content.csv"
*/
-- What is shown is known by a key alone, its category and price stand in another file; day and time in two columns.
SELECT session_id_hash AS session_id,
       strptime(event_date || ' ' || event_clock, '%d/%m/%Y %H:%M:%S.%g') AS event_time,
       CASE WHEN event_type = 'pageview' THEN 'page' WHEN product_action = 'detail' THEN 'view'
            WHEN product_action = 'add' THEN 'cart' ELSE product_action END AS event,
       product_sku_hash AS product, category_hash AS category, price_bucket AS price
FROM log LEFT JOIN content USING (product_sku_hash)
