/** The line that says what has just happened. */

let fading = 0;

/** Say something, to eyes and to screen readers. */
export function say(text) {
  const line = document.getElementById("status");
  clearTimeout(fading);
  line.textContent = text;
  line.classList.add("shown");
  fading = setTimeout(() => line.classList.remove("shown"), 6000);
}
