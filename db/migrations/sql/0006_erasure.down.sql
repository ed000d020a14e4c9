SET LOCAL ROLE partyline_owner;
DROP FUNCTION erase_user;
RESET ROLE;
