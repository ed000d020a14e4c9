"""The servers that Partyline is measured beside, each minimal: sources and settings, which are run only."""
