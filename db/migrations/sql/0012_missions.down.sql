SET LOCAL ROLE partyline_owner;
DELETE FROM partman.part_config WHERE parent_table = 'public.feedback';
DROP TABLE feedback;
DROP TABLE mission_assignments;
DROP TABLE missions;
RESET ROLE;
