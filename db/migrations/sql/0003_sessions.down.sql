SET LOCAL ROLE partyline_owner;
DROP FUNCTION take_fence;
DROP TABLE party_members;
DROP TABLE party_sessions;
RESET ROLE;
