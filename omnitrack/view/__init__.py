"""`omnitrack view`: a page on this machine to click on anything in a clip and see where it goes.

security   access control: only the opened page may send requests, by its token, host and origin
points     the points that the user placed, kept in the project's view.json
answers    the tracks of these points, from a tracker that stays open
live       the background work, and what has changed since
clip       what the page shows: the frames of a project
given      the alternative to clip: existing tracks
app        the requests of the page
opening    a page with all its parts
work       flow and fit in a separate process
address    the port, the token, the browser
server     the server of the page, until a signal ends it
shown      the page served beside a running notebook or script
widget     the page in a cell of a notebook: no server, the requests are messages (calls)
page/      the page itself, static files without a build step: main.js has its parts, keys.js the keyboard commands
"""
