"""`omnitrack view`: a page on this machine to click on anything in a clip and see where it goes.

security   who may ask: only the page that was opened, by its token, its host and its origin
points     what the user placed, kept in the project's view.json
answers    where those points go, by a tracker that stays open
live       the work in the background, and what is new since
clip       what is looked at: the frames of a project
given      or tracks that are there already
app        the requests of the page
opening    a page, with all of these
work       flow and fit in a process of their own
address    the port, the token, the browser
server     all of it together, until a signal ends it
shown      the same beside a notebook
widget     the page in a cell of a notebook: no server, the requests are messages (calls)
page/      the page itself, static files without a build step: main.js has its parts, keys.js what the keyboard does
"""
