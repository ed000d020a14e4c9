"""The gateway, the writer, the keeper, HTTP and the web page. Nothing but tests imports it."""
