-- An export of BigQuery as CSV: parameters and items are repeated records, written as JSON into a cell.
WITH events AS (
    SELECT *, from_json(event_params, '[{"key": "VARCHAR", "value": {"string_value": "VARCHAR", "int_value": "VARCHAR"}}]')
               AS params,
           from_json(items, '[{"item_id": "VARCHAR", "item_category": "VARCHAR", "price": "DOUBLE"}]')[1] AS item
    FROM log)
SELECT user_pseudo_id || '.' || list_filter(params, lambda one: one.key = 'ga_session_id')[1].value.int_value AS session_id,
       CAST(event_timestamp AS BIGINT) // 1000 AS event_time,
       CASE event_name WHEN 'view_item' THEN 'view' WHEN 'add_to_cart' THEN 'cart' ELSE event_name END AS event,
       item.item_id AS product, item.item_category AS category, item.price AS price
FROM events
