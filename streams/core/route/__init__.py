"""Stage `route`: what happened at a site, from alerts, logons, flows and alarms of sources, in one form."""
