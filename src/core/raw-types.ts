/** Type parsers for pg that hand every value over as the text that the server sent. */
export const RAW_TEXT_TYPES = {
  getTypeParser: () => (text: string) => text,
};
