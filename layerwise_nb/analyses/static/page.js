// Figures become interactive when they come into view. The picture stays in the page: for print, and where there is no script.
const LEAST = 480  // pixels that an interactive figure needs
const LEAST_SCALE = 0.6  // of cells, whose labels keep their size; a figure that needs more room is scrolled
const dark = matchMedia('(prefers-color-scheme: dark)')
const said = document.getElementById('said')
const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

const ground = () => ({
  paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', font: { color: color('--text') },
  hoverlabel: { bgcolor: color('--page'), bordercolor: color('--line'), font: { color: color('--text'), size: 12 } },
})

const ofCells = figure => figure.data.some(d => d.type === 'heatmap' && d.xgap)

function widthOf(figure, room) {
  const { width = room, margin: { l = 60, r = 20 } = {} } = figure.layout
  return Math.min(Math.max(room, LEAST, ofCells(figure) ? l + r + LEAST_SCALE * (width - l - r) : 0), width)
}

// Names above columns that would meet in this room: every second one goes higher. Returns the height this takes.
function raise(layout, room) {
  const [first, last] = layout.xaxis?.range ?? [], names = (layout.annotations ?? []).filter(a => a.xref === 'x' && a.yref === 'y domain')
  if (last === undefined || names.length < 2) return 0
  const ends = names.map(a => [room * (a.x - first) / (last - first), 3.6 * a.text.length])
  const meet = ends.some(([x, half], i) => i && x - half < ends[i - 1][0] + ends[i - 1][1])
  if (meet) names.forEach((a, i) => { if (i % 2) a.yshift += 14 })
  return meet ? 14 : 0
}

// Names beside small cells are as small as these, or they would meet: axis, number of cells, room for them.
function cellAxes(data, across, down) {
  const { z } = data.find(d => d.type === 'heatmap' && d.xgap)
  const [rows, columns] = z.shape ? z.shape.split(',').map(Number) : [z.length, z[0]?.length ?? 1]
  return [['xaxis', columns, across], ['yaxis', rows, down]]
}

// The heading stands in the page; what was drawn for a wide figure is fitted into the room there is.
function fit(figure, room) {
  const layout = structuredClone(figure.layout), data = figure.data
  const { l = 60, r = 20, t = 60, b = 60 } = layout.margin ?? {}
  const width = widthOf(figure, room), cells = ofCells(figure)
  const scale = (width - l - r) / (layout.width - l - r), top = Math.min(t, cells || layout.annotations?.length ? 40 : 24)
  layout.height = (layout.height - t - b) * (cells ? scale : 1) + top + b
  const raised = raise(layout, width - l - r)
  layout.height += raised
  Object.assign(layout, ground(), { width, title: undefined, margin: { ...layout.margin, t: top + raised } })
  for (const shape of layout.shapes ?? []) if (shape.line?.color === 'white') shape.line.color = color('--card')
  for (const [axis, n, room] of cells ? cellAxes(data, width - l - r, layout.height - top - raised - b) : [])
    layout[axis] = { ...layout[axis], tickfont: { ...layout[axis]?.tickfont, size: Math.max(7, Math.min(12, 0.95 * room / n)) } }
  const traces = data.map(d => {
    const copy = { ...d }
    if (d.type === 'heatmap' && d.xgap && d.texttemplate) {
      const size = 0.36 * (width - l - r) / (d.z.shape?.split(',')[1] ?? d.z[0]?.length ?? 23)
      if (size < 6) copy.texttemplate = undefined
      else copy.textfont = { ...d.textfont, size: Math.min(d.textfont?.size ?? 12, size) }
    }
    if (d.type === 'bar' && d.text) copy.insidetextfont = copy.textfont = { ...d.textfont, color: color('--text') }
    return copy
  })
  return [traces, layout]
}

// Arrow keys walk through the points; what the pointer would show is said.
function walk(plot) {
  let curve = -1, point = 0, row = 0
  const usable = () => plot._fullData.filter(d => d.visible === true && d.hoverinfo !== 'skip')
  const strip = html => new DOMParser().parseFromString(String(html).replaceAll('<br>', ', '), 'text/html').body.textContent
  plot.addEventListener('keydown', event => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key], traces = usable()
    if (event.key === 'Escape') return Plotly.Fx.unhover(plot)
    if (!step || !traces.length) return
    event.preventDefault()
    const clip = (i, n) => Math.min(Math.max(i, 0), n - 1)
    if (traces[0].type === 'heatmap') {
      row = clip(curve < 0 ? 0 : row + step[1], traces[0].z.length)
      point = clip(curve < 0 ? 0 : point + step[0], traces[0].z[0].length)
      curve = 0
    } else {
      point = curve < 0 ? 0 : clip(point + step[0], traces[clip(curve + step[1], traces.length)].x.length)
      curve = clip(Math.max(curve, 0) + (curve < 0 ? 0 : step[1]), traces.length)
    }
    const trace = traces[curve], where = trace.type === 'heatmap' ? [row, point] : point
    Plotly.Fx.hover(plot, [{ curveNumber: trace.index, pointNumber: where }])
    const own = trace.type === 'heatmap' ? trace.customdata?.[row]?.[point] : trace.customdata?.[point]
    const value = trace.type === 'heatmap' ? trace.z[row][point] : `${trace.x[point]}, ${trace.y[point]}`
    said.textContent = own === undefined ? `${trace.name ?? ''} ${value}` : strip(own)
  })
}

async function draw(card) {
  const picture = card.querySelector('.picture'), image = picture.querySelector('img')
  if (picture.classList.contains('drawn')) return
  const figure = JSON.parse(card.querySelector('script.data').textContent), room = picture.clientWidth
  if (card.classList.contains('wide') && !ofCells(figure)) figure.layout.width = Infinity  // time takes all the room there is
  const plot = document.createElement('div'), holder = document.createElement('div')
  plot.className = 'plot'
  plot.append(holder)
  for (const [name, value] of [['role', 'img'], ['aria-label', `${image.alt} Arrow keys read the points.`], ['tabindex', '0']])
    holder.setAttribute(name, value)
  picture.querySelector('button')?.remove()
  picture.append(plot)
  picture.classList.add('drawn')
  holder.style.width = `${widthOf(figure, room)}px`
  // No bar of tools: ten buttons a figure that Tab would stop at, unseen. A drag zooms, a double click goes back.
  await Plotly.newPlot(holder, ...fit(figure, room), { ...figure.config, responsive: false, displayModeBar: false })
  walk(holder)
  card.redraw = () => Plotly.react(holder, ...fit(figure, picture.clientWidth)).then(() => {
    holder.style.width = `${holder._fullLayout.width}px`
  })
}

function offer(card) {
  const button = document.createElement('button')
  button.type = 'button'
  button.textContent = 'Interactive'
  button.addEventListener('click', () => draw(card))
  card.querySelector('.picture').append(button)
}

addEventListener('load', () => {
  if (!window.Plotly) return  // the library does not lie beside the page: the pictures stay
  const cards = [...document.querySelectorAll('.card')].filter(c => c.querySelector('script.data') && c.querySelector('.picture'))
  const seen = new IntersectionObserver(entries => entries.filter(e => e.isIntersecting).forEach(e => {
    seen.unobserve(e.target)
    if (e.target.querySelector('.picture').clientWidth >= LEAST) draw(e.target)
    else offer(e.target)
  }), { rootMargin: '400px' })
  cards.forEach(card => seen.observe(card))
  let waiting
  const again = () => { clearTimeout(waiting); waiting = setTimeout(() => cards.forEach(card => card.redraw?.()), 150) }
  addEventListener('resize', again)
  dark.addEventListener('change', again)
})

// A film is not printed: its picture stands in its place.
for (const film of document.querySelectorAll("video[poster]")) {
  const still = new Image();
  Object.assign(still, { src: film.poster, alt: "", className: "still" });
  film.after(still);
}
