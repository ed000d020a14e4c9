SET LOCAL ROLE partyline_owner;
DROP FUNCTION party_track;
RESET ROLE;
SET LOCAL ROLE partyline_views;
DROP VIEW party_positions_visible;
RESET ROLE;
SET LOCAL ROLE partyline_owner;
DROP TABLE party_positions;
RESET ROLE;
