// A link at each figure that saves it as a file of its own, colours included.
for (const svg of document.querySelectorAll("figure > svg")) {
  const room = 16;
  const copy = svg.cloneNode(true), { x, y, width, height } = svg.viewBox.baseVal;
  const box = { x: x - room, y: y - room, width: width + 2 * room, height: height + 2 * room };
  copy.setAttribute("viewBox", Object.values(box).join(" "));
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  const add = (name) => copy.insertBefore(document.createElementNS(svg.namespaceURI, name), copy.firstChild);
  const ground = add("rect");
  for (const [name, value] of Object.entries({ class: "ground", ...box })) ground.setAttribute(name, value);
  add("style").textContent = document.getElementById("figures").textContent;
  const link = document.createElement("a"), title = svg.getAttribute("aria-label");
  link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
  link.download = title.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "").toLowerCase() + ".svg";
  link.textContent = "Save as SVG";
  link.className = "save";
  link.setAttribute("aria-label", "Save as SVG: " + title);
  svg.parentElement.append(link);
}
