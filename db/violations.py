"""What a refused row did wrong, in one sentence, by the constraint's name that the driver's error carries.

Of the tables that the product's backend writes to: what it does not write to is nothing to tell a person.
"""

from __future__ import annotations

SENTENCES: dict[str, str] = {
    # People
    "users_email_check": "an e-mail has 3 to 254 characters and an @",
    "users_email_key": "there is an account with this e-mail already",
    "users_locale_check": "a language is a tag such as ko or ko-KR",
    "users_time_budget_min_check": "the usual length of a trip is at least one minute",
    "users_budget_band_check": "a budget band has 1 to 32 characters",
    "users_mobility_mode_check": "one goes about by walk, transit or bike",
    "users_preferences_check": "preferences are a JSON object",
    "users_hash_needs_email": "a password needs an e-mail",
    "users_erased_is_anonymous": "this account was erased",
    "users_erased_has_no_embedding": "this account was erased",
    # Posts
    "posts_type": "a post is a review or a doodle",
    "posts_visibility": "a post is public or private",
    "posts_status": "a post is pending, published, hidden or removed",
    "posts_body_length": "a post has 1 to 5,000 characters",
    "posts_media_urls_list": "the images of a post are a list of addresses",
    "posts_geofence_on_earth": "a longitude is from -180 to 180, a latitude from -90 to 90",
    "posts_doodle_has_fence": "a doodle lies at a place",
    "posts_doodle_needs_place": "a doodle needs to know where its author is",
    "posts_doodle_within_fence": "a doodle can be left only within 150 m of where its author is",
    "posts_doodle_expires": "a doodle expires, and a review does not",
    "posts_expires_after_creation": "a doodle cannot have expired when it is left",
    "posts_user_fkey": "there is no such author",
    "posts_place_fkey": "there is no such place",
    "post_tags_confidence_range": "a confidence is from 0 to 1",
    "post_tags_post_fkey": "there is no such post",
    "post_tags_tag_fkey": "there is no such tag",
    # Trips
    "trips_duration_range": "a trip takes 1 minute to 14 days",
    "trips_budget_min_range": "a budget is not below 0",
    "trips_budget_max_range": "a budget is not below 0",
    "trips_budget_order": "the least cost of a trip is not above the most",
    "trips_freshness_range": "freshness is from 0 to 1",
    "trips_mode": "a trip is made by walk, transit or bike",
    "trips_context_hash_form": "a context's hash has 64 hexadecimal digits",
    "trips_user_fkey": "there is no such person",
    "trip_nodes_sequence_range": "a trip has stops 1 to 1,000",
    "trip_nodes_sequence_key": "two stops of a trip have the same place in its order",
    "trip_nodes_trip_key": "a stop is of one trip",
    "trip_nodes_stay_range": "a planned stay is from 0 minutes to a day",
    "trip_nodes_transition_mode": "one gets to a stop by walk, transit or bike",
    "trip_nodes_notes_length": "notes have at most 2,000 characters",
    "trip_nodes_trip_fkey": "there is no such trip",
    "trip_nodes_place_fkey": "there is no such place",
    "trip_cache_context_hash_form": "a context's hash has 64 hexadecimal digits",
    "trip_cache_payload_object": "a recommendation is a JSON object",
    "trip_cache_payload_size": "a recommendation has at most 256 KiB",
    "trip_cache_validity": "a recommendation is valid for some time",
    # Missions
    "missions_title_length": "a mission's title has 1 to 200 characters",
    "missions_description_length": "a mission's description has at most 5,000 characters",
    "missions_steps_list": "a mission's steps are a list",
    "missions_badge_length": "the name of a badge has 1 to 64 characters",
    "mission_assignments_status": "a mission is pending, completed or expired",
    "mission_assignments_due_after": "a mission is due after it is given",
    "mission_assignments_result_object": "the result of a mission is a JSON object",
    "mission_assignments_one_pending": "this person has this mission already",
    "mission_assignments_user_fkey": "there is no such person",
    "mission_assignments_mission_fkey": "there is no such mission",
    # Feedback
    "feedback_rating_range": "a rating is 1, 2 or 3",
    "feedback_stay_range": "a stay is from 0 minutes to 14 days",
    "feedback_comments_length": "a comment has at most 5,000 characters",
    "feedback_trip_fkey": "there is no such trip",
    "feedback_trip_node_fkey": "there is no such stop in this trip",
    "feedback_user_fkey": "there is no such person",
}


def sentence_of(constraint_name: str | None) -> str | None:
    """The sentence, or `None` for a name that is not the person's to know of: an error of ours."""
    return SENTENCES.get(constraint_name or "")
