SET LOCAL ROLE partyline_views;
DROP VIEW metrics.daily_product_metrics;
SET LOCAL ROLE partyline_owner;
DROP SCHEMA metrics;
RESET ROLE;
