SET LOCAL ROLE partyline_owner;
DROP TABLE party_members;
DROP TABLE party_sessions;
RESET ROLE;
