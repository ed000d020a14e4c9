SET LOCAL ROLE partyline_owner;
DROP FUNCTION hold_user;
DROP FUNCTION coarsest_of;
DROP TABLE users;
DROP TYPE precision_level;
RESET ROLE;
