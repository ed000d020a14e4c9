SET LOCAL ROLE partyline_owner;
DROP TABLE place_tags;
DROP TABLE tags;
DROP TABLE place_congestion_daily;
DROP TABLE places;
DROP TABLE content_sources;
RESET ROLE;
