SET LOCAL ROLE partyline_owner;
DROP FUNCTION delete_expired_doodles;
DROP FUNCTION moderate_post;
DROP TABLE post_tags;
DELETE FROM partman.part_config WHERE parent_table = 'public.posts';
DROP TABLE posts;
DROP FUNCTION doodle_within_fence;
RESET ROLE;
