// Shows a message after a wrong token.

import "./language.js";

document.getElementById("wrong").hidden = !new URLSearchParams(location.search).has("wrong");
