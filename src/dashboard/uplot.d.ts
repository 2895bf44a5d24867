/** The build puts the library beside the page's own files: a browser knows no packages. */
export { default } from 'uplot';
