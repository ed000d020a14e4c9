-- Key figures by day, for BI tools. Nobody is named in them.
SET LOCAL ROLE partyline_owner;
CREATE SCHEMA metrics;
COMMENT ON SCHEMA metrics IS 'Key figures for BI tools';
GRANT USAGE ON SCHEMA metrics TO partyline_views, partyline_analyst;
GRANT CREATE ON SCHEMA metrics TO partyline_views;

SET LOCAL ROLE partyline_views;
-- A trip is started once a party is on it or somebody gave feedback, and completed once there is feedback on
-- its last stop or on the trip as a whole. Diversity is the Shannon entropy of the categories of the proposed
-- stops, divided by its greatest value (log of the number of categories): 0 all alike, 1 evenly spread.
CREATE VIEW metrics.daily_product_metrics WITH (security_barrier) AS
WITH proposed AS (
    SELECT t.id, (t.created_at AT TIME ZONE 'UTC')::date AS day,
        EXISTS (SELECT FROM public.party_sessions s WHERE s.trip_id = t.id)
            OR EXISTS (SELECT FROM public.feedback f WHERE f.trip_id = t.id) AS started,
        EXISTS (
            SELECT FROM public.feedback f
            WHERE f.trip_id = t.id AND (f.trip_node_id IS NULL OR f.trip_node_id = (
                SELECT n.id FROM public.trip_nodes n WHERE n.trip_id = t.id ORDER BY n.sequence DESC LIMIT 1))
        ) AS completed
    FROM public.trips t
), courses AS (
    SELECT day, count(*) AS trips_proposed, count(*) FILTER (WHERE started) AS trips_started,
        count(*) FILTER (WHERE completed) AS trips_completed
    FROM proposed GROUP BY day
), categories AS (
    SELECT p.day, c.category, count(*) AS stops
    FROM proposed p
    JOIN public.trip_nodes n ON n.trip_id = p.id
    JOIN public.places c ON c.id = n.place_id
    GROUP BY p.day, c.category
), shares AS (
    SELECT day, stops / sum(stops) OVER (PARTITION BY day) AS share FROM categories
), spread AS (
    SELECT day, CASE WHEN count(*) > 1 THEN -sum(share * ln(share)) / ln(count(*)::numeric) ELSE 0 END AS diversity
    FROM shares GROUP BY day
)
SELECT c.day, c.trips_proposed, c.trips_started, c.trips_completed,
    round(c.trips_started::numeric / c.trips_proposed, 4) AS start_rate,
    round(c.trips_completed::numeric / nullif(c.trips_started, 0), 4) AS completion_rate,
    round(s.diversity, 4) AS diversity
FROM courses c LEFT JOIN spread s USING (day);
COMMENT ON VIEW metrics.daily_product_metrics IS 'One row for each UTC day on which trips were proposed';
COMMENT ON COLUMN metrics.daily_product_metrics.day IS 'UTC day on which the trips were proposed';
COMMENT ON COLUMN metrics.daily_product_metrics.trips_proposed IS 'Trips';
COMMENT ON COLUMN metrics.daily_product_metrics.trips_started IS 'Of these, with a party or feedback';
COMMENT ON COLUMN metrics.daily_product_metrics.trips_completed IS 'Of these, with feedback on the last stop or the whole';
COMMENT ON COLUMN metrics.daily_product_metrics.start_rate IS 'Started of proposed, 0 to 1';
COMMENT ON COLUMN metrics.daily_product_metrics.completion_rate IS 'Completed of started, 0 to 1; null when none started';
COMMENT ON COLUMN metrics.daily_product_metrics.diversity IS 'How evenly the stops'' categories are spread, 0 to 1; null without stops';
GRANT SELECT ON metrics.daily_product_metrics TO partyline_analyst;

SET LOCAL ROLE partyline_owner;
REVOKE CREATE ON SCHEMA metrics FROM partyline_views;
RESET ROLE;
